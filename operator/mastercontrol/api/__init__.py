"""The kinds as frozen values, and every name that the project gives to something, in one place."""
