"""The recorder: watches a real run from outside and writes what it saw as the events that the history checker reads."""
