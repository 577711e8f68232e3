"""The verbs of the sentence, one a file, each ``async def verb(values, kit) -> value``."""
