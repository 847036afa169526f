"""The traversal tree: one small context per entity, with what it holds, its children and its ACL."""
