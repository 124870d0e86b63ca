"""HTTP for clients that do not speak Cog: the OpenAI speech API and the page, in front of Cog servers. Knows no models and starts none itself."""

__all__ = ["local", "names", "serve", "settings"]
