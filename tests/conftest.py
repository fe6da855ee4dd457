"""What all tests share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Examples are judged by what they return: on two shared cores any of them may be slow.
settings.register_profile("saksi", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("saksi")
