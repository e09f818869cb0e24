"""Settings of the property tests, for the whole suite."""

import os

from hypothesis import settings

# No deadline: a loaded machine is not a failure. A failing example prints how to repeat it.
settings.register_profile("default", deadline=None, print_blob=True)
settings.register_profile("thorough", parent=settings.get_profile("default"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
