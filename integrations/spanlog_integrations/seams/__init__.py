"""The ways in that several libraries share: an SDK's one request method, HTTP, arguments."""
