"""Tables beside the job queue: its queues, why jobs failed, and what the schedule did."""
