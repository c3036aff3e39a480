"""The daemon: kernel requests, signals, the control socket, workers."""
