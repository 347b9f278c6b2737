"""Chats and completions in the API of OpenAI, as far as they are alike."""
