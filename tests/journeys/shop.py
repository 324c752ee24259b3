"""A small database made by statements: tables with rows, keys, comments and a view, the same each time."""

from __future__ import annotations

PEOPLE = ["Ada Lovelace", "Grace Hopper", "Emmy Noether", "Mary Shelley", "Jane Austen"]


def statements(tables: int) -> list[str]:
    """`tables` tables of four kinds; every second kind refers to the table before it."""
    found: list[str] = []
    for number in range(tables):
        found += (_customer, _account, _measure, _visit)[number % 4](number)
    return [*found, "create view open_accounts as select id, iban from account_1 where id > 3" if tables > 1 else "select 1", "analyze"]


def _customer(number: int) -> list[str]:
    name = f"customer_{number}"
    rows = ", ".join(
        f"({i}, 'user{i}@example.com', '{PEOPLE[i % 5]}', '+49 30 90182{i:03}', date '1980-01-01' + {i * 97})" for i in range(30)
    )
    return [
        f"create table {name} (id int primary key, email text, full_name text, phone text, date_of_birth date)",
        f"comment on column {name}.email is 'how we reach the customer'",
        f"insert into {name} values {rows}",
    ]


def _account(number: int) -> list[str]:
    name = f"account_{number}"
    rows = ", ".join(f"({i}, {i}, 'DE89370400440532013000', '4111 1111 1111 1111')" for i in range(30))
    return [
        f"create table {name} (id int primary key, customer int references customer_{number - 1}, iban text, card_number text)",
        f"insert into {name} values {rows}",
    ]


def _measure(number: int) -> list[str]:
    return [
        f"create table measure_{number} (id int primary key, sensor text, reading numeric, taken_at timestamptz)",
        f"insert into measure_{number} select n, 'sensor-' || n % 7, n * 0.5, timestamptz '2024-05-01 12:00' from generate_series(1, 30) n",
    ]


def _visit(number: int) -> list[str]:
    return [
        f"create table visit_{number} (id int primary key, ip_address inet, diagnosis text, notes text)",
        f"insert into visit_{number} select n, ('10.1.2.' || n)::inet, 'J45.' || n % 9, 'all is well' from generate_series(1, 30) n",
    ]
