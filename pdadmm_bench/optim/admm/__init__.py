"""The ADMM methods: their subproblems, and what they share."""
