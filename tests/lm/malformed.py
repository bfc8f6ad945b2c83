"""Answers as models give them, wrong in every way seen so far, with what a reader takes from them.

Each case: what is odd about it, the answer, the entries, and what else must be noticed (``refused``, ``truncated``).
"""

# ruff: noqa: E501
from __future__ import annotations

ABC = ["Alien (1979)", "Heat (1995)", "Up (2009)"]
PLAIN = ["Alien", "Heat", "Up"]

CASES: list[tuple[str, str, list[str], str]] = [
    # -- numbers
    ("as asked", "1. Alien (1979)\n2. Heat (1995)\n3. Up (2009)", ABC, ""),
    ("said before", "Based on the user's preferences, here are the top 3:\n\n1. Alien (1979)\n2. Heat (1995)\n3. Up (2009)", ABC, ""),
    ("said behind", "1. Alien (1979)\n2. Heat (1995)\n3. Up (2009)\n\nI hope you enjoy these films!", ABC, ""),
    ("brackets", "1) Alien (1979)\n2) Heat (1995)\n3) Up (2009)", ABC, ""),
    ("two brackets", "(1) Alien (1979)\n(2) Heat (1995)\n(3) Up (2009)", ABC, ""),
    ("square brackets", "[1] Alien (1979)\n[2] Heat (1995)\n[3] Up (2009)", ABC, ""),
    ("colons", "1: Alien (1979)\n2: Heat (1995)\n3: Up (2009)", ABC, ""),
    ("dashes", "1 - Alien (1979)\n2 - Heat (1995)\n3 - Up (2009)", ABC, ""),
    ("long dashes", "1 – Alien (1979)\n2 – Heat (1995)\n3 – Up (2009)", ABC, ""),
    ("hashes", "#1 Alien (1979)\n#2 Heat (1995)\n#3 Up (2009)", ABC, ""),
    ("no blank", "1.Alien (1979)\n2.Heat (1995)\n3.Up (2009)", ABC, ""),
    ("indented", "   1.  Alien (1979)\n\t2. Heat (1995)\n  3.   Up (2009)  ", ABC, ""),
    ("empty lines", "1. Alien (1979)\n\n\n2. Heat (1995)\n\n3. Up (2009)\n", ABC, ""),
    ("lines of Windows", "1. Alien (1979)\r\n2. Heat (1995)\r\n3. Up (2009)\r\n", ABC, ""),
    ("numbers start again", "1. Alien (1979)\n2. Heat (1995)\n1. Up (2009)", ABC, ""),
    ("a number alone on its line", "1.\nAlien (1979)\n2.\nHeat (1995)\n3.\nUp (2009)", ABC, ""),
    ("numbers in one line", "1. Alien (1979), 2. Heat (1995), 3. Up (2009)", ABC, ""),
    ("numbers in one line without commas", "1. Alien (1979) 2. Heat (1995) 3. Up (2009)", ABC, ""),
    ("quoted as mail", "> 1. Alien (1979)\n> 2. Heat (1995)\n> 3. Up (2009)", ABC, ""),
    ("a comment line under each", "1. Alien (1979)\nFear in space.\n2. Heat (1995)\nCops.\n3. Up (2009)\nBalloons.", ABC, ""),
    # -- titles that look like numbers
    ("a title that is a year", "1. 1917 (2019)\n2. 300 (2006)\n3. 9 (2009)", ["1917 (2019)", "300 (2006)", "9 (2009)"], ""),
    ("a title that begins with a number", "1. 12 Monkeys (1995)\n2. 2001: A Space Odyssey (1968)", ["12 Monkeys (1995)", "2001: A Space Odyssey (1968)"], ""),
    ("such titles behind bullets", "- 12 Monkeys (1995)\n- 2001: A Space Odyssey (1968)", ["12 Monkeys (1995)", "2001: A Space Odyssey (1968)"], ""),
    ("such titles bare", "300: Rise of an Empire (2014)\n(500) Days of Summer (2009)\n3:10 to Yuma (2007)", ["300: Rise of an Empire (2014)", "(500) Days of Summer (2009)", "3:10 to Yuma (2007)"], ""),
    ("brackets in front", "1. (500) Days of Summer (2009)\n2. Heat (1995)", ["(500) Days of Summer (2009)", "Heat (1995)"], ""),
    ("halves", "1. 8 1/2 (1963)\n2. Fahrenheit 9/11 (2004)", ["8 1/2 (1963)", "Fahrenheit 9/11 (2004)"], ""),
    # -- bullets and lines
    ("hyphens", "- Alien (1979)\n- Heat (1995)\n- Up (2009)", ABC, ""),
    ("stars", "* Alien (1979)\n* Heat (1995)\n* Up (2009)", ABC, ""),
    ("dots", "• Alien (1979)\n• Heat (1995)\n• Up (2009)", ABC, ""),
    ("boxes", "[ ] Alien (1979)\n[x] Heat (1995)\n[ ] Up (2009)", ABC, ""),
    ("a heading and bullets", "## Recommendations\n\n- Alien (1979)\n- Heat (1995)\n- Up (2009)", ABC, ""),
    ("no mark at all", "Top 3 Recommendations:\n\nAlien (1979)\nHeat (1995)\nUp (2009)", ABC, ""),
    ("no mark and no year", "Alien\nHeat\nUp", PLAIN, ""),
    ("one line", "Alien (1979), Heat (1995), and Up (2009)", ABC, ""),
    ("one line behind a colon", "You may like: Alien, Heat, and Up", PLAIN, ""),
    ("semicolons", "Alien; Heat; Up", PLAIN, ""),
    ("quotes in a sentence", 'I would suggest "Alien," "Heat," and "Up."', ["Alien", "Heat", "Up."], ""),
    ("one line with articles behind", "Matrix, The (1999), Few Good Men, A (1992), Up (2009)", ["Matrix, The (1999)", "Few Good Men, A (1992)", "Up (2009)"], ""),
    ("one line with ratings", "Alien (1979) 4/5, Heat (1995) 5/5, Up (2009) 3/5", ABC, ""),
    # -- emphasis, quotes, ratings, comments
    ("bold", "1. **Alien (1979)**\n2. **Heat** (1995)\n3. __Up (2009)__", ABC, ""),
    ("numbers in bold", "**1. Alien (1979)**\n**2.** Heat (1995)\n**3) Up (2009)**", ABC, ""),
    ("italics", "1. *Alien* (1979)\n2. _Heat (1995)_\n3. `Up (2009)`", ABC, ""),
    ("quotes", '1. "Alien" (1979)\n2. "Heat (1995)"\n3. “Up” (2009)', ABC, ""),
    ("bold and comments", "1. **Alien (1979)** - fear in space\n2. **Heat (1995)**: cops and robbers\n3. **Up (2009)** — balloons", ABC, ""),
    ("comments behind years", "1. Alien (1979) - fear in space\n2. Heat (1995): cops\n3. Up (2009), because you like balloons", ABC, ""),
    ("ratings", "1. Alien (1979) 4/5\n2. Heat (1995) - 4.5/5\n3. Up (2009) (5/5)", ABC, ""),
    ("ratings in stars", "1. Alien (1979) ★★★★☆\n2. Heat (1995) 4 stars\n3. Up (2009) 5 stars", ABC, ""),
    ("ratings said to be such", "1. Alien (1979) (Rating: 8/10)\n2. Heat (1995), rating 4/5\n3. Up (2009) 9 / 10", ABC, ""),
    ("only a rating first", "5/5\n\nTop-3 Recommendations:\n1. Alien (1979)\n2. Heat (1995)\n3. Up (2009)", ABC, ""),
    ("full stops", "1. Alien (1979).\n2. Heat (1995).\n3. Up (2009).", ABC, ""),
    ("commas", "1. Alien (1979),\n2. Heat (1995),\n3. Up (2009)", ABC, ""),
    ("links", "1. [Alien (1979)](https://x.org/1)\n2. [Heat (1995)](https://x.org/2)\n3. [Up (2009)](https://x.org/3)", ABC, ""),
    # -- tables and JSON
    ("a table", "| Rank | Title |\n|---|---|\n| 1 | Alien (1979) |\n| 2 | Heat (1995) |\n| 3 | Up (2009) |", ABC, ""),
    ("a JSON list", '["Alien (1979)", "Heat (1995)", "Up (2009)"]', ABC, ""),
    ("a JSON list in a fence", 'Here you are:\n```json\n["Alien (1979)", "Heat (1995)", "Up (2009)"]\n```\nEnjoy!', ABC, ""),
    ("JSON objects", '[{"title": "Alien", "year": 1979}, {"title": "Heat", "year": "1995"}, {"title": "Up (2009)"}]', ABC, ""),
    ("JSON under a name", '{"recommendations": [{"rank": 1, "name": "Alien (1979)"}, {"rank": 2, "name": "Heat (1995)"}]}', ABC[:2], ""),
    ("JSON by rank", '{"1": "Alien (1979)", "2": "Heat (1995)", "3": "Up (2009)"}', ABC, ""),
    ("JSON that was cut", '["Alien (1979)", "Heat (1995)", "Up (20', ABC[:2], "truncated"),
    ("JSON objects that were cut", '[{"title": "Alien (1979)", "why": "fear"}, {"title": "Heat (1995)", "wh', ABC[:2], "truncated"),
    ("an empty JSON list", "[]", [], ""),
    # -- ends
    ("cut in a title", "1. Alien (1979)\n2. Heat (1995)\n3. Up (2009)\n4. Jaws (1975)\n5. Fargo (1996)\n6. Kingp", [*ABC, "Jaws (1975)", "Fargo (1996)", "Kingp"], "truncated"),
    ("cut in a year", "1. Alien (1979)\n2. Heat (1995)\n3. Up (2009", ["Alien (1979)", "Heat (1995)", "Up (2009"], "truncated"),
    ("cut behind a number", "1. Alien (1979)\n2. Heat (1995)\n3. Up (2009)\n4.", ABC, "truncated"),
    ("repeats stay", "1. Alien (1979)\n2. Heat (1995)\n3. Alien (1979)", ["Alien (1979)", "Heat (1995)", "Alien (1979)"], ""),
    ("too many", "\n".join(f"{i}. Film {i}" for i in range(1, 121)), [f"Film {i}" for i in range(1, 121)], ""),
    ("nothing", "", [], ""),
    ("blanks", " \n\n ", [], ""),
    ("only a rating", "4/5", [], ""),
    ("only a heading", "Top 50 Recommendations:", [], ""),
    ("a refusal", "I'm sorry, but as an AI language model I cannot recommend films to a user I know nothing about.", [], "refused"),
    ("a short refusal", "I am unable to do that.", [], "refused"),
    ("a refusal of several lines", "I apologize, but I do not have enough information about this user.\nI can't recommend anything without more of it, as I would be guessing.", [], "refused"),
    # -- other goods
    ("books", "1. The Hobbit by J.R.R. Tolkien\n2. \"Emma\" by Jane Austen\n3. Dune, by Frank Herbert", ["The Hobbit by J.R.R. Tolkien", "Emma by Jane Austen", "Dune, by Frank Herbert"], ""),
    ("artists", "1. Radiohead\n2. The Beatles\n3. 50 Cent\n4. U2", ["Radiohead", "The Beatles", "50 Cent", "U2"], ""),
    ("accents", "1. Amélie (2001)\n2. Léon: The Professional (1994)\n3. WALL·E (2008)", ["Amélie (2001)", "Léon: The Professional (1994)", "WALL·E (2008)"], ""),
]  # fmt: skip
