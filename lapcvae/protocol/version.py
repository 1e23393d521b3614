"""The one version of runtime, plug-in and worker; they are installed and swapped together."""

VERSION = "0.1.0"
# Raised whenever a message changes its meaning: a client refuses a worker that speaks another protocol.
PROTOCOL = 3
