"""`pergai demo`: a product photo through the whole HTTP API of a real server, and a page that shows what came of it."""
