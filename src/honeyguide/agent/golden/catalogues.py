"""Three small catalogues that the commands of ``commands.tsv`` are about."""

from __future__ import annotations

import polars as pl

BOOKS = pl.DataFrame(
    {
        "item_id": [1, 2, 3, 4, 5, 6, 7, 8],
        "title": [
            "The Hobbit",
            "Murder on the Orient Express",
            "The Shining",
            "Pride and Prejudice",
            "Dune",
            "Sapiens",
            "The Little Prince",
            "Gone Girl",
        ],
        "authors": [
            "J.R.R. Tolkien",
            "Agatha Christie",
            "Stephen King",
            "Jane Austen",
            "Frank Herbert",
            "Yuval Noah Harari",
            "Antoine de Saint-Exupery",
            "Gillian Flynn",
        ],
        "tags": [
            ["fantasy", "adventure"],
            ["mystery", "crime", "classics"],
            ["horror"],
            ["romance", "classics"],
            ["science-fiction"],
            ["history", "nonfiction"],
            ["children", "fantasy"],
            ["thriller", "crime"],
        ],
        "year": [1937, 1934, 1977, 1813, 1965, 2011, 1943, 2012],
        "pages": [310, 256, 447, 279, 412, 443, 96, 415],
        "rating": [4.3, 4.2, 4.2, 4.3, 4.3, 4.4, 4.3, 4.1],
        "language": ["eng", "eng", "eng", "eng", "eng", "eng", "fre", "eng"],
    }
)
MOVIES = pl.DataFrame(
    {
        "item_id": ["a", "b", "c", "d", "e", "f"],
        "title": ["Toy Story", "Heat", "Alien", "Casablanca", "Spirited Away", "Groundhog Day"],
        "genres": [
            ["Animation", "Comedy", "Children's"],
            ["Action", "Crime"],
            ["Horror", "Sci-Fi"],
            ["Drama", "Romance", "War"],
            ["Animation", "Fantasy"],
            ["Comedy", "Romance"],
        ],
        "director": [
            "John Lasseter",
            "Michael Mann",
            "Ridley Scott",
            "Michael Curtiz",
            "Hayao Miyazaki",
            "Harold Ramis",
        ],
        "year": [1995, 1995, 1979, 1942, 2001, 1993],
        "runtime": [81, 170, 117, 102, 125, 101],
    }
)
PRODUCTS = pl.DataFrame(
    {
        "item_id": [10, 20, 30, 40, 50],
        "title": ["Rose Hand Cream", "Matte Red Lipstick", "Mint Shampoo", "Hair Dryer 2000", "Vanilla Candle"],
        "brand": ["Dove", "Revlon", "Aveda", "Dyson", "Yankee"],
        "category": ["skin care", "makeup", "hair care", "tools", "fragrance"],
        "color": ["pink", "red", "green", "grey", "white"],
        "price": [12.5, 9.0, 28.0, 399.0, 24.0],
    }
)
CATALOGUES = {"books": BOOKS, "movies": MOVIES, "products": PRODUCTS}
