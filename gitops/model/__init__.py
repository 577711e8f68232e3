"""The domain's frozen values.

Everything here is plain standard-library data: no I/O, no third-party import, no clock.
Every other package imports these modules; they import nothing of ours but each other.
"""
