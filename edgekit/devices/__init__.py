"""Devices: where artifacts are measured, this machine or one that is reached over SSH."""
