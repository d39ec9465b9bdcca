"""Where artefacts come from: one file a kind of source."""
