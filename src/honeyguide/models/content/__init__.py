"""Models that score items from what is known of them, so that items without events are served too."""
