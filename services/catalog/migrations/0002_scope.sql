-- What lists are narrowed to: nothing (null), one source (tenant/name), or one tenant's sources (tenant/).
create function in_scope(source text, scope text) returns boolean language sql immutable parallel safe as $$
    select scope is null or source = scope or (right(scope, 1) = '/' and starts_with(source, scope))
$$;
