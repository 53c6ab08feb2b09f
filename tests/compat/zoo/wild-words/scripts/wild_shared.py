"""State that two script files share."""

COUNTER = {"activated": 0, "deactivated": 0}
