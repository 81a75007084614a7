"""What the store and the service promise, put to the test on this machine; every suite must catch a planted fault."""
