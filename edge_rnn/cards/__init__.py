"""Model cards: a network described for people, as text, as a table and as a drawing."""
