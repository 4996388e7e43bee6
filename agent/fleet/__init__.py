"""Facts between hosts: `board` says what is told and heard, `valkey` where it is kept."""
