"""The samples that a step sees, in a fixed order, and their pixels."""
