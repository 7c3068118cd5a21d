"""What all tests of the processes share."""

from hypothesis import settings

# A shared machine may pause for long in the middle of an example, which proves nothing.
settings.register_profile("otp", deadline=None, max_examples=100)
settings.load_profile("otp")
