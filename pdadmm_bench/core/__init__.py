"""The foundation of every other package; it imports neither torch nor MLflow."""
