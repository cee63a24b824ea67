"""What an integration is made of: targets, patches, calls."""
