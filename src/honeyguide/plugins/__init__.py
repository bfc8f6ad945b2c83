"""Plug-ins: one file each, over any model that has the states it needs."""
