"""Every permission there is, as ``resource:action``. Contexts grant them, views and operations ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Permission(StrEnum):
    """What a view may demand; each name has its meaning in :data:`MEANINGS`."""

    API_READ = "api:read"
    METRICS_READ = "metrics:read"
    ACCOUNT_REGISTER = "account:register"
    SESSION_BEGIN = "session:begin"
    SESSION_END = "session:end"
    SESSION_LIST = "session:list"
    PASSWORD_RESET = "password:reset"
    EMAIL_CONFIRM = "email:confirm"
    EMAIL_RESEND = "email:resend"
    PROFILE_READ = "profile:read"
    ACCOUNT_READ = "account:read"
    ACCOUNT_EDIT = "account:edit"
    ACCOUNT_DEACTIVATE = "account:deactivate"
    ACCOUNT_EXPORT = "account:export"
    LISTING_SEARCH = "listing:search"
    LISTING_CREATE = "listing:create"
    LISTING_READ = "listing:read"
    LISTING_EDIT = "listing:edit"
    LISTING_DELETE = "listing:delete"
    LISTING_RESTORE = "listing:restore"
    LISTING_PUBLISH = "listing:publish"
    LISTING_SUBMIT = "listing:submit"
    LISTING_MODERATE = "listing:moderate"
    CATEGORY_READ = "category:read"
    FILE_READ = "file:read"
    BOOKMARK_READ = "bookmark:read"
    BOOKMARK_ADD = "bookmark:add"
    BOOKMARK_REMOVE = "bookmark:remove"
    REVIEW_READ = "review:read"
    REVIEW_POST = "review:post"
    REVIEW_REPLY = "review:reply"
    REVIEW_MODERATE = "review:moderate"
    CONVERSATION_LIST = "conversation:list"
    CONVERSATION_READ = "conversation:read"
    CONVERSATION_KEEP = "conversation:keep"
    MESSAGE_SEND = "message:send"
    MESSAGE_READ = "message:read"
    MESSAGE_MARK = "message:mark"
    MESSAGE_MODERATE = "message:moderate"
    BLOCK_READ = "block:read"
    BLOCK_ADD = "block:add"
    BLOCK_REMOVE = "block:remove"
    VERIFICATION_READ = "verification:read"
    VERIFICATION_SUBMIT = "verification:submit"
    VERIFICATION_REVIEW = "verification:review"
    VERIFICATION_OPEN = "verification:open"
    VERIFICATION_DECIDE = "verification:decide"
    NOTIFICATION_LIST = "notification:list"
    NOTIFICATION_READ = "notification:read"
    NOTIFICATION_KEEP = "notification:keep"
    PREFERENCES_READ = "preferences:read"
    PREFERENCES_EDIT = "preferences:edit"
    PHONE_READ = "phone:read"
    PHONE_CHANGE = "phone:change"
    PUSH_READ = "push:read"
    PUSH_KEEP = "push:keep"
    SMS_REPORT = "sms:report"
    STREAM_OPEN = "stream:open"
    REPORT_MAKE = "report:make"
    REPORT_READ = "report:read"
    REPORT_MODERATE = "report:moderate"
    MODERATION_READ = "moderation:read"
    ACCOUNT_INSPECT = "account:inspect"
    ACCOUNT_JUDGE = "account:judge"
    ACCOUNT_ROLES = "account:roles"
    AUDIT_READ = "audit:read"
    EVENT_READ = "event:read"
    KEY_MANAGE = "key:manage"
    WEBHOOK_READ = "webhook:read"
    WEBHOOK_MANAGE = "webhook:manage"
    EMAIL_UNSUBSCRIBE = "email:unsubscribe"
    EMAIL_UNDO = "email:undo"
    BOUNCE_REPORT = "bounce:report"


MEANINGS: Mapping[Permission, str] = {
    Permission.API_READ: "Read the entry point, the descriptions of errors and relations, and the OpenAPI document.",
    Permission.METRICS_READ: "Read the Prometheus metrics.",
    Permission.ACCOUNT_REGISTER: "Make an account.",
    Permission.SESSION_BEGIN: "Log in or refresh.",
    Permission.SESSION_END: "End sessions of one's own.",
    Permission.SESSION_LIST: "See one's own sessions.",
    Permission.PASSWORD_RESET: "Ask for a password reset and carry it out with the token from the mail.",
    Permission.EMAIL_CONFIRM: "Confirm an e-mail address with the token from the mail.",
    Permission.EMAIL_RESEND: "Ask for the confirmation mail again.",
    Permission.PROFILE_READ: "Read a public profile.",
    Permission.ACCOUNT_READ: "Read one's own account in full.",
    Permission.ACCOUNT_EDIT: "Change one's own profile, e-mail or password.",
    Permission.ACCOUNT_DEACTIVATE: "Deactivate one's own account.",
    Permission.ACCOUNT_EXPORT: "Take out everything that is held about oneself.",
    Permission.LISTING_SEARCH: "Search what is on offer.",
    Permission.LISTING_CREATE: "Offer something.",
    Permission.LISTING_READ: "Open a listing.",
    Permission.LISTING_EDIT: "Change a listing's content.",
    Permission.LISTING_DELETE: "Delete a listing.",
    Permission.LISTING_RESTORE: "Bring a deleted listing back.",
    Permission.LISTING_PUBLISH: "Publish, deactivate or mark a listing as sold.",
    Permission.LISTING_SUBMIT: "Ask moderators to verify a listing.",
    Permission.LISTING_MODERATE: "Verify, reject, suspend or reinstate a listing.",
    Permission.CATEGORY_READ: "Read the category tree.",
    Permission.FILE_READ: "Fetch a public file, or a private one by an address that was signed for it.",
    Permission.BOOKMARK_READ: "See one's own bookmarks.",
    Permission.BOOKMARK_ADD: "Bookmark a listing.",
    Permission.BOOKMARK_REMOVE: "Remove a bookmark of one's own.",
    Permission.REVIEW_READ: "Read a review.",
    Permission.REVIEW_POST: "Review a listing or a person.",
    Permission.REVIEW_REPLY: "Reply to a review of oneself or one's listing.",
    Permission.REVIEW_MODERATE: "Edit or delete a review that breaks the rules.",
    Permission.CONVERSATION_LIST: "See one's own conversations.",
    Permission.CONVERSATION_READ: "Read a conversation that one takes part in.",
    Permission.CONVERSATION_KEEP: "Mark a conversation as read, archive it or delete it from one's own view.",
    Permission.MESSAGE_SEND: "Write to somebody.",
    Permission.MESSAGE_READ: "Read a message that one sent or got.",
    Permission.MESSAGE_MARK: "Mark a message that one got as read.",
    Permission.MESSAGE_MODERATE: "Remove a message that was reported, or bring it back.",
    Permission.BLOCK_READ: "See whom one has blocked.",
    Permission.BLOCK_ADD: "Block somebody, so that they cannot write to one.",
    Permission.BLOCK_REMOVE: "Take somebody's messages again.",
    Permission.VERIFICATION_READ: "See where one's own verification stands.",
    Permission.VERIFICATION_SUBMIT: "Send a document to be verified.",
    Permission.VERIFICATION_REVIEW: "See the verifications of others, without their documents.",
    Permission.VERIFICATION_OPEN: "Open the document of somebody else's verification, on the record.",
    Permission.VERIFICATION_DECIDE: "Approve or reject somebody else's verification.",
    Permission.NOTIFICATION_LIST: "See one's own notifications.",
    Permission.NOTIFICATION_READ: "Read a notification of one's own.",
    Permission.NOTIFICATION_KEEP: "Mark one's own notifications as read, or dismiss them.",
    Permission.PREFERENCES_READ: "See what one is told of, and how.",
    Permission.PREFERENCES_EDIT: "Choose what one is told of, and how.",
    Permission.PHONE_READ: "See one's own telephone number.",
    Permission.PHONE_CHANGE: "Show that one holds a telephone number, or have one's own forgotten.",
    Permission.PUSH_READ: "See one's own browsers that take notifications.",
    Permission.PUSH_KEEP: "Let a browser take one's notifications, or end that.",
    Permission.SMS_REPORT: "Tell what became of a text message, for who signs as its provider.",
    Permission.STREAM_OPEN: "Hold a connection open, through which one is told of what happens.",
    Permission.REPORT_MAKE: "Report a listing, a person, a message or a review.",
    Permission.REPORT_READ: "Read a report that one made.",
    Permission.REPORT_MODERATE: "Assign, resolve or dismiss a report that one neither made nor is about.",
    Permission.MODERATION_READ: "See what waits for moderators.",
    Permission.ACCOUNT_INSPECT: "Look through the accounts in all states.",
    Permission.ACCOUNT_JUDGE: "Suspend, reinstate or ban an account of a lower rank.",
    Permission.ACCOUNT_ROLES: "Give or take roles.",
    Permission.AUDIT_READ: "Read the event log.",
    Permission.EVENT_READ: "Follow the event log as a feed.",
    Permission.KEY_MANAGE: "Issue and revoke the keys with which programs call.",
    Permission.WEBHOOK_READ: "See the webhooks and what they were told.",
    Permission.WEBHOOK_MANAGE: "Make, change, test, enable, disable or delete a webhook; send an event to it again.",
    Permission.EMAIL_UNDO: "Undo a change of the e-mail address by the link that the former one was sent.",
    Permission.EMAIL_UNSUBSCRIBE: "Switch e-mails off by the link that stands in them.",
    Permission.BOUNCE_REPORT: "Report a mail that came back, with a signature.",
}
