-- Data contracts as they were published: what they say of columns is one more sign. `name` is tenant/contract.
create table contract (
    name text primary key,
    tenant text not null,
    body jsonb not null
);
create index contract_tenant on contract (tenant);
