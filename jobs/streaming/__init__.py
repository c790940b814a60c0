"""The stream jobs: Flink keeps what must be fresh within milliseconds."""
