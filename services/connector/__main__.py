"""`python -m services.connector`: this service alone."""

from services.connector.app import service

if __name__ == "__main__":
    service.run()
