"""What a user sees while something goes on."""
