"""Networks that score pixels and regions, and the module that trains them; models/__init__.py has their names."""
