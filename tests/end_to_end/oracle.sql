-- The expected tables of a warehouse, by the design's rules, from the same Parquet files.
-- Input views: events, posthog_sessions, users, social, invites (with all their columns), excluded(id).
-- Placeholders: {libraries} (a condition on lib), {limit}.

-- phone numbers as the sample and the tests write them: +1 (201) 555-0100, 0012015550100; nothing else changes
create macro digits_of(id) as regexp_replace(id, '[^0-9+]', '', 'g');
create macro phone(id) as
    case when regexp_full_match(trim(id), '[+(]?[0-9][-0-9 ().]{6,}')
        then case when digits_of(id) like '00%' then '+' || substr(digits_of(id), 3) else digits_of(id) end
        else trim(id) end;
create macro lower_uuid(id) as
    case when regexp_full_match(id, '[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){4}[0-9a-fA-F]{8}') then lower(id) else id end;
-- event uuids are one in any letter case, with or without dashes
create macro event_uuid(id) as
    case when regexp_full_match(id, '[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}') then lower(id)
        when regexp_full_match(id, '[0-9a-fA-F]{32}')
        then regexp_replace(lower(id), '(.{8})(.{4})(.{4})(.{4})(.{12})', '\1-\2-\3-\4-\5') else id end;
create macro bare_word(id) as case
    when regexp_full_match(trim(id), '"[^"]*"|''[^'']*''') then substr(trim(id), 2, length(trim(id)) - 2)
    else trim(id) end;
create macro is_nobody(id) as
    bare_word(id) in ('[object Object]', 'NaN', 'None', 'none', 'null', '')
    or lower(bare_word(id)) in ('anonymous', 'guest', 'distinctid', 'distinct_id', 'id', 'not_authenticated', 'email',
        'undefined', 'true', 'false')
    or regexp_full_match(bare_word(id), '[-0]*0[-0]*');
create macro unless_blank(text) as case when trim(text) <> '' then text end;
create table banned as select id from excluded union select phone(id) from excluded;

create table typed as
select
    *,
    distinct_id in (from banned) or phone(distinct_id) in (from banned) as is_banned,
    case when json_type(props, '$."$session_id"') = 'VARCHAR'
        then lower_uuid(json_extract_string(props, '$."$session_id"')) end as session_id,
    coalesce(json_type(props, '$."$session_id"'), 'NULL') not in ('VARCHAR', 'NULL') as session_id_is_odd,
    case when json_type(props, '$."$lib"') = 'VARCHAR' then json_extract_string(props, '$."$lib"') end as lib
from (
    select
        *,
        coalesce(trim(properties, e' \t\r\n\f\v'), '') = '' as is_blank,
        case when json_valid(properties) and json_type(properties) = 'OBJECT' then properties::json end as props
    from events
);

create table outcomes as
select
    *,
    case
        when coalesce(trim(uuid), '') = '' then 'rejected.uuid_missing'
        when length(uuid) > 400 then 'rejected.uuid_too_long'
        when coalesce(trim(event), '') = '' then 'rejected.event_missing'
        when coalesce(trim(distinct_id), '') = '' then 'rejected.distinct_id_missing'
        when length(distinct_id) > 400 then 'rejected.distinct_id_too_long'
        when is_nobody(distinct_id) then 'rejected.distinct_id_meaningless'
        when timestamp is null then 'rejected.timestamp_missing'
        when timestamp < timestamptz '2015-01-01 00:00:00+00' or timestamp >= timestamptz '2050-01-01 00:00:00+00'
            or timestamp > bq_ingested_timestamp + interval 24 hour then 'rejected.timestamp_implausible'
        when timestamp < bq_ingested_timestamp - interval 1825 day then 'rejected.timestamp_too_old'
        when is_blank then 'rejected.properties_missing'
        when props is null then 'rejected.properties_invalid'
        when not coalesce(({libraries}), false) then 'filtered.library'
        when session_id_is_odd then 'rejected.session_id_invalid'
        when coalesce(trim(session_id), '') = '' then 'rejected.session_id_missing'
        when length(session_id) > 400 then 'rejected.session_id_too_long'
        when is_nobody(session_id) then 'rejected.session_id_meaningless'
        else 'usable'
    end as otherwise,
    case when is_banned then 'filtered.excluded_user' else otherwise end as outcome
from typed;

-- users: blank is null; the latest version of a document, unique by user_id, then by phone; most complete first
create table clean_users as
select
    unless_blank(user_id) as user_id,
    unless_blank(fullName) as fullName,
    nullif(trim(phoneNumber), '') as phoneNumber,
    unless_blank(username) as username,
    unless_blank(email) as email,
    contactAccessGranted, businessUser, createdAt, unless_blank(document_id) as document_id,
    etl_loaded_at
from users where trim(user_id) <> '' or trim(document_id) <> '';
create table ranked_users as
select *,
    (fullName is not null)::int + (phoneNumber is not null)::int + (username is not null)::int
    + (email is not null)::int + (contactAccessGranted is not null)::int + (businessUser is not null)::int
    + (createdAt is not null)::int as completeness
from clean_users;
create table by_document as
select * from ranked_users
qualify row_number() over (
    partition by coalesce('id' || document_id, 'user' || user_id)
    order by etl_loaded_at desc nulls last, completeness desc, user_id, fullName nulls last, phoneNumber nulls last,
        username nulls last, email nulls last, contactAccessGranted nulls last, businessUser nulls last,
        createdAt nulls last
) = 1;
create table by_user as
select * from by_document
where user_id is not null
qualify row_number() over (
    partition by user_id
    order by completeness desc, fullName nulls last, phoneNumber nulls last, username nulls last, email nulls last,
        contactAccessGranted nulls last, businessUser nulls last, createdAt nulls last
) = 1;
create table owners as
select *, first_value(user_id) over (
    partition by coalesce('phone' || phone(phoneNumber), 'user' || user_id) order by completeness desc, user_id
) as owner
from by_user;
create table unique_users as select * from owners where user_id = owner;
create table banned_users as
select distinct owner from owners
where user_id in (from banned) or phone(phoneNumber) in (from banned);

-- whose a session is, also by the events that are left out
create table matches as
select session_id, coalesce(min(p.owner), min(u.owner)) as user_id
from (
    select distinct session_id, distinct_id as id from outcomes
    where otherwise = 'usable'
) ids
left join owners p on phone(ids.id) = phone(p.phoneNumber)
left join owners u on ids.id = u.user_id
group by session_id;
-- a session with any id of an excluded user is theirs, whosever it else would be
create table banned_sessions as
select distinct session_id from outcomes
join owners on owner in (from banned_users)
    and (phone(distinct_id) = phone(phoneNumber) or distinct_id = owners.user_id)
where otherwise = 'usable';
create table settled as
select * replace (
    case when outcome = 'usable' and session_id in (from banned_sessions) then 'filtered.excluded_user' else outcome
    end as outcome)
from outcomes;

-- one row an event: of its copies the latest arrival decides everything, then the earliest time
create table used as
select session_id, event_uuid(uuid) as uuid, event, distinct_id, timestamp, epoch_us(timestamp) as us, props,
    bq_ingested_timestamp as arrival
from settled where outcome = 'usable'
qualify row_number() over (
    partition by session_id, event_uuid(uuid), event, distinct_id
    order by bq_ingested_timestamp desc nulls last, timestamp
) = 1;

create macro text_of(props, name) as
    case when json_type(props, '$."' || name || '"') in ('VARCHAR', 'BOOLEAN', 'DOUBLE', 'BIGINT', 'UBIGINT')
        then nullif(left(replace(json_extract_string(props, '$."' || name || '"'), chr(0), chr(65533)), 1024), '') end;
create macro number_of(props, name) as
    case when json_type(props, '$."' || name || '"') in ('DOUBLE', 'BIGINT', 'UBIGINT', 'HUGEINT')
        and abs(json_extract_string(props, '$."' || name || '"')::double) < 9223372036854775808.0
        then json_extract_string(props, '$."' || name || '"')::double end;

-- the events of a session in order: how long until the next, the latest mark of a pause, and three steps in order
create table ordered as
select
    *,
    row_number() over w as place,
    coalesce(lead(us) over w - us, 0) as until_next,
    last_value(case when {marks} then event end ignore nulls) over (w rows unbounded preceding) as mark
from used
window w as (partition by session_id order by timestamp, uuid, event, distinct_id);
create table reached_1 as
select session_id, min(place) as at_1 from ordered where {step_1} group by session_id;
create table reached_2 as
select session_id, min(place) as at_2 from ordered join reached_1 using (session_id)
where place > at_1 and ({step_2}) group by session_id;
create table reached_3 as
select session_id, min(place) as at_3 from ordered join reached_2 using (session_id)
where place > at_2 and ({step_3}) group by session_id;
create table walked as
select *, (at_1 is not null)::int + (at_2 is not null)::int + (at_3 is not null)::int as steps
from ordered
left join reached_1 using (session_id) left join reached_2 using (session_id) left join reached_3 using (session_id);

create table facts as
select
    session_id,
    first(distinct_id order by timestamp, uuid, event, distinct_id) as distinct_id,
    list_sort(list(distinct distinct_id)) as distinct_ids,
    min(us) as start_us,
    max(us) as end_us,
    least(count(*), {limit}) as event_count,
    count(*) > {limit} as is_oversized,
    {metrics},
    coalesce(
        first(text_of(props, '$timezone') order by place) filter (text_of(props, '$timezone') is not null),
        first(text_of(props, '$geoip_time_zone') order by place) filter (text_of(props, '$geoip_time_zone') is not null)
    ) as timezone,
    coalesce(bool_or(text_of(props, '$is_emulator') = 'true'), false) as is_emulator,
    coalesce(bool_or({dev_build}), false) as is_dev_build,
    coalesce(bool_or(timestamp > arrival), false) as has_clock_skew
from walked group by session_id;

create table acquisition as
select lower_uuid(session_id) as session_id, channel_type, is_bounce::boolean as is_bounce from posthog_sessions
qualify row_number() over (
    partition by lower_uuid(session_id) order by end_timestamp desc nulls last, channel_type nulls last, is_bounce nulls last
) = 1;

create table social_events as
select distinct on (coalesce('id' || document_id, 'row' || user_id || epoch_us(createdAt))) *
from (
    select * replace (
        unless_blank(document_id) as document_id,
        unless_blank(user_id) as user_id
    ) from social
) order by etl_loaded_at desc nulls last, user_id, createdAt, type, startTime, endTime, eventDate;
create table received as
select distinct on (coalesce('id' || document_id, concat('row', event_id, user_id, epoch_us(createdAt)))) *
from (
    select * replace (
        unless_blank(document_id) as document_id,
        unless_blank(user_id) as user_id,
        unless_blank(event_id) as event_id
    ) from invites
) order by etl_loaded_at desc nulls last, user_id, createdAt, status, event_id;
create table created as
select f.session_id, count(*) as events_created_count
from facts f join matches using (session_id) join owners o on o.owner = matches.user_id
join social_events s on s.user_id = o.user_id
where epoch_us(s.createdAt) between f.start_us and f.end_us
group by f.session_id;

-- when clocks show what where the user is
create table clocks as
select
    session_id,
    timezone('{reporting_timezone}', make_timestamptz(start_us))::date as start_date,
    timezone(coalesce(zones.name, '{reporting_timezone}'), make_timestamptz(start_us)) as shown
from facts left join (select distinct name from pg_timezone_names()) zones on zones.name = timezone;

create table sessions as
select
    f.session_id,
    coalesce(m.user_id, f.distinct_id) as person_id,
    m.user_id,
    f.distinct_id,
    f.distinct_ids,
    make_timestamptz(f.start_us) as start_timestamp,
    make_timestamptz(f.end_us) as end_timestamp,
    (f.end_us - f.start_us) / 1000000 as session_duration,
    f.event_count,
    f.* exclude (session_id, distinct_id, distinct_ids, start_us, end_us, event_count, is_oversized),
    k.start_date, hour(k.shown) as local_start_hour, isodow(k.shown) as local_start_weekday,
    coalesce(c.events_created_count, 0) > 0 as created_event,
    coalesce(c.events_created_count, 0) as events_created_count,
    f.end_us > f.start_us or {engaged} as is_engaged,
    row_number() over person as session_number,
    row_number() over person = 1 as is_first_session,
    make_timestamptz(lag(f.end_us) over person) as previous_session_end,
    (f.start_us - lag(f.end_us) over person) / 1000000 as seconds_since_previous_session,
    f.is_oversized,
    u.fullName, u.phoneNumber, u.username, u.email, u.contactAccessGranted, u.businessUser, u.createdAt,
    a.channel_type, a.is_bounce,
    f.end_us - f.start_us as duration_us, f.start_us
from facts f join matches m using (session_id) join clocks k using (session_id)
left join unique_users u on u.user_id = m.user_id
left join acquisition a on a.session_id = f.session_id
left join created c on c.session_id = f.session_id
window person as (partition by coalesce(m.user_id, f.distinct_id) order by f.start_us, f.session_id);

create table session_links as
select found.*, start_date from ({links}) found join clocks using (session_id);

create table gaps as
select
    person_id,
    count(*) as active_days, min(day) as first_active_date, max(day) as last_active_date,
    coalesce(max(gap), 0) as longest_gap_days,
    count(*) filter (gap > {inactive_days}) as times_churned
from (
    select person_id, day, day - lag(day) over (partition by person_id order by day) as gap
    from (select distinct person_id, start_date as day from sessions)
)
group by person_id;

-- all social events of a user, in sessions or not
create table creators as
select owner as user_id, count(*) as number, min(epoch_us(s.createdAt)) as first_us
from social_events s join owners using (user_id) where s.createdAt is not null group by owner;

create table persons as
select
    person_id,
    any_value(user_id) as user_id,
    count(*) as total_sessions,
    count(*) filter (is_engaged) as engaged_sessions,
    sum(duration_us)::double / (count(*) * 1000000)::double as avg_session_duration,
    (quantile_disc(duration_us, 0.5) + list_sort(list(duration_us))[count(*) // 2 + 1])::double / 2 / 1000000
        as median_session_duration,
    sum(duration_us)::double / 1000000 as total_session_duration,
    min(duration_us)::double / 1000000 as min_session_duration,
    max(duration_us)::double / 1000000 as max_session_duration,
    case when count(*) > 1 then
        sqrt((count(*) * sum(duration_us::hugeint * duration_us) - sum(duration_us) * sum(duration_us))::double
            / (count(*) * (count(*) - 1))::double) / 1000000 end as std_session_duration,
    count(*) filter (created_event) as created_event_sum,
    {rollups},
    make_timestamptz(min(start_us)) as first_session_date,
    make_timestamptz(max(start_us)) as last_session_date,
    (max(start_us) - min(start_us)) / 86400000000 as days_since_first_session,
    count(*) / ((max(start_us) - min(start_us)) / 86400000000 + 1) as sessions_per_day,
    any_value(active_days) as active_days, any_value(first_active_date) as first_active_date,
    any_value(last_active_date) as last_active_date, any_value(longest_gap_days) as longest_gap_days,
    any_value(times_churned) as times_churned,
    count(*) filter ({active}) / count(*) as engagement_score,
    coalesce(any_value(number), 0) as total_events_created,
    any_value((first_us - epoch_us(createdAt)) / 86400000000) as days_to_first_event,
    first(channel_type order by start_us, session_id) filter (channel_type is not null) as first_touch_channel,
    last(channel_type order by start_us, session_id) filter (channel_type is not null) as latest_touch_channel,
    any_value(fullName) as fullName, any_value(phoneNumber) as phoneNumber, any_value(username) as username,
    any_value(email) as email, any_value(contactAccessGranted) as contactAccessGranted,
    any_value(businessUser) as businessUser, any_value(createdAt) as createdAt
from sessions join gaps using (person_id) left join creators using (user_id) group by person_id;

-- days on which a session starts or ends, or a user creates a social event or receives an invite
create macro day_of(moment) as timezone('{reporting_timezone}', moment)::date;
create table deeds as
select
    owner as person_id,
    day_of(d.createdAt) as date,
    count(*) filter (what = 'created') as events_created_count,
    count(*) filter (what = 'accepted') as invites_accepted,
    count(*) filter (what = 'invited') as invites_pending,
    count(*) filter (what = 'rejected') as invites_rejected
from (
    select user_id, createdAt, 'created' as what from social_events
    union all select user_id, createdAt, lower(trim(status)) from received
) d
join owners using (user_id)
where owner not in (from banned_users) and what in ('created', 'accepted', 'invited', 'rejected')
    and d.createdAt >= timestamptz '2015-01-01 00:00:00+00' and d.createdAt < timestamptz '2050-01-01 00:00:00+00'
group by all;
create table started as
select
    person_id,
    start_date as date,
    count(*) as sessions_started,
    sum(event_count)::bigint as event_count,
    sum(duration_us)::double / 1000000 as session_duration,
    {day_sums}
from sessions group by all;
create table app_days as
select person_id, start_date as date from sessions union select person_id, day_of(end_timestamp) from sessions;
create table every_day as
select person_id, date, (person_id, date) in (select (person_id, date) from app_days) as is_app_active
from (from app_days union select person_id, date from deeds);
create table person_days as
select
    person_id, date,
    case when person_id in (select user_id from sessions union all select person_id from deeds) then person_id end
        as user_id,
    coalesce(sessions_started, 0) as sessions_started,
    coalesce(event_count, 0) as event_count,
    coalesce(session_duration, 0) as session_duration,
    {day_names},
    coalesce(events_created_count, 0) as events_created_count,
    coalesce(invites_accepted, 0) as invites_accepted,
    coalesce(invites_pending, 0) as invites_pending,
    coalesce(invites_rejected, 0) as invites_rejected,
    is_app_active,
    d.person_id is not null as is_social_active,
    is_app_active and max(case when is_app_active then date end) over earlier is null as is_first_day,
    max(case when is_app_active then date end) over earlier as previous_active_date
from every_day left join started using (person_id, date) left join deeds d using (person_id, date)
window earlier as (partition by person_id order by date rows between unbounded preceding and 1 preceding);

-- social events: who made them, their invites, and the persons who viewed or joined them in any session
create table hosts as
select
    *,
    coalesce(document_id, '/' || sha256(concat('row:', user_id, ':', epoch_us(createdAt)))) as id,
    coalesce(startTime, eventDate) as starts_at
from social_events left join (select user_id, owner from owners) using (user_id)
where user_id is not null and createdAt is not null
    and user_id not in (from banned) and coalesce(owner, '') not in (from banned_users);
create table answers as
select event_id as id, lower(trim(status)) as status from received left join (select user_id, owner from owners) using (user_id)
where user_id is not null and createdAt is not null
    and user_id not in (from banned) and coalesce(owner, '') not in (from banned_users);
create table answered as
select
    id,
    count(*) filter (status = 'accepted') as accepted_count,
    count(*) filter (status = 'rejected') as rejected_count,
    count(*) filter (status = 'invited') as pending_count
from answers group by id;
create table attended as
select
    value as id,
    count(distinct person_id) filter (viewed_count > 0) as viewer_count,
    count(distinct person_id) filter (joined_count > 0) as joiner_count
from (
    select null::varchar as link, null::varchar as value, null::bigint as viewed_count, null::bigint as joined_count,
        null::varchar as session_id where false
    union all by name from session_links
) join sessions using (session_id)
where link = 'social_event' group by value;
create table social_event_rows as
select
    id as social_event_id,
    h.owner as person_id,
    h.type,
    h.starts_at > h.createdAt as is_planned,
    h.createdAt as created_at,
    h.starts_at,
    (epoch_us(h.starts_at) - epoch_us(h.createdAt))::double / 3600000000 as lead_time_hours,
    coalesce(accepted_count + rejected_count + pending_count, 0) as invited_count,
    coalesce(accepted_count, 0) as accepted_count,
    coalesce(rejected_count, 0) as rejected_count,
    coalesce(pending_count, 0) as pending_count,
    case when invited_count > 0 then accepted_count::double / invited_count::double end as acceptance_rate,
    case when {has_social_events} then coalesce(viewer_count, 0) end as viewer_count,
    case when {has_social_events} then coalesce(joiner_count, 0) end as joiner_count,
    case when h.owner is not null then row_number() over (partition by h.owner order by h.createdAt, id) end
        as host_event_number
from hosts h left join answered using (id) left join attended using (id);
