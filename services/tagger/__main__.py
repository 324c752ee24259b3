"""`python -m services.tagger`: this service alone."""

from services.tagger.app import service

if __name__ == "__main__":
    service.run()
