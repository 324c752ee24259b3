-- What contracts say by the objects that they name, so that a batch reads what is about its tables and no more. `claims` are the sources
-- that a contract is about, `object` what it calls a table, both in the words of shared.contracts.judging.contract; `properties` is JSON,
-- as text since it may hold what jsonb may not. `named`: an asset's table in one case; what was judged before is named when it is judged again.
alter table contract add column claims text[] not null default '{}';
create table contract_object (
    contract text not null references contract (name) on delete cascade,
    place integer not null,
    object text not null,
    properties text not null,
    primary key (contract, place)
);
create index contract_object_object on contract_object (object);
alter table asset add column named text not null default '';

update contract set claims = array(
    select 'source ' || (value #>> '{}') from jsonb_path_query(body, 'lax $.customProperties[*] ? (@.property == "source").value') as value
    union select 'source ' || (value #>> '{}') from jsonb_path_query(body, 'lax $.servers[*].server') as value
    union select concat('place ', server ->> 'host', E'\n', server ->> 'database')
        from jsonb_path_query(body, 'lax $.servers[*] ? (exists (@.host) && exists (@.database))') as server);
insert into contract_object (contract, place, object, properties)
    select name, place, lower(coalesce(nullif(object ->> 'physicalName', ''), object ->> 'name')),
        jsonb_path_query_array(object, 'lax $.properties[*] ? (@.type() == "object")')::text
    from contract, jsonb_path_query(body, 'lax $.schema[*] ? (@.type() == "object")') with ordinality as found(object, place)
    where coalesce(nullif(object ->> 'physicalName', ''), object ->> 'name') is not null;
alter table contract drop column body;
