"""`python -m services.classifier`: this service alone."""

from services.classifier.app import service

if __name__ == "__main__":
    service.run()
