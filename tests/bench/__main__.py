"""``make bench``: every measurement, one after the other."""

from tests.bench.delivery import main

main()
