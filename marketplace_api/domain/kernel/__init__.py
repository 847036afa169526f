"""What every context builds on: actors, events, workflows, conditions, paging, money, tokens and registries."""
