"""Reader of JSON files of audio networks: RTNeural, AIDA-X, GuitarML, NAM."""
