"""Storage: model files, snapshots of state, and checks of files from untrusted sources."""
