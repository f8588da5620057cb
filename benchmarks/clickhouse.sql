-- The same two tables as the pipeline's, straight from the same Parquet files, in ClickHouse's dialect.
-- Placeholders: $warehouse, $out. Statements end with a semicolon at the end of a line.

create table decoded engine = Memory as
with read as (  -- the JSON parser refuses lone surrogates: such rows come again without them (pairs stay)
    select uuid, event, distinct_id, timestamp, bq_ingested_timestamp, properties as json
    from file('$warehouse/posthog_etl/events/*.parquet', Parquet)
    union all
    select uuid, event, distinct_id, timestamp, bq_ingested_timestamp,
        replaceRegexpAll(properties, '(\\\\ud[89ab]..\\\\ud[c-f]..)|\\\\ud[89a-f]..', '\\1') as json
    from file('$warehouse/posthog_etl/events/*.parquet', Parquet) where position(properties, '\\ud') > 0
)
select
    assumeNotNull(uuid) as id, assumeNotNull(event) as event, assumeNotNull(distinct_id) as distinct_id,
    assumeNotNull(toUnixTimestamp64Micro(timestamp)) as us,
    ifNull(toUnixTimestamp64Micro(bq_ingested_timestamp), toInt64(-9223372036854775807)) as arrival,
    JSONExtract(json, $$Tuple(
        "$session_id" Nullable(String), "$lib" Nullable(String), "$screen_name" Nullable(String),
        "$touch_y" Nullable(String), "$screen_height" Nullable(Float64), "$geoip_city_name" Nullable(String),
        "$geoip_country_name" Nullable(String), "$os_name" Nullable(String), "$app_version" Nullable(String)
    )$$) as p
from read
where uuid <> '' and event <> '' and trim(distinct_id) <> ''
    and timestamp >= toDateTime64('2015-01-01 00:00:00', 6, 'UTC')
    and timestamp < toDateTime64('2050-01-01 00:00:00', 6, 'UTC')
    and timestamp <= ifNull(bq_ingested_timestamp, timestamp) + interval 24 hour;

create table used engine = Memory as
with typed as (  -- numbers and booleans are their JSON text; what is nested is nothing
    select
        lower(replaceAll(id, '-', '')) as uuid, event, distinct_id, us, arrival,
        ifNull(tupleElement(p, 1), '') as session_id, tupleElement(p, 2) as lib,
        if(left(tupleElement(p, 3), 1) in ('[', '{', ''), null, tupleElement(p, 3)) as screen,
        toFloat64OrNull(tupleElement(p, 4)) as touch_y, tupleElement(p, 5) as height,
        if(left(tupleElement(p, 6), 1) in ('[', '{', ''), null, tupleElement(p, 6)) as city,
        if(left(tupleElement(p, 7), 1) in ('[', '{', ''), null, tupleElement(p, 7)) as country,
        if(left(tupleElement(p, 8), 1) in ('[', '{', ''), null, tupleElement(p, 8)) as os_name,
        if(left(tupleElement(p, 9), 1) in ('[', '{', ''), null, tupleElement(p, 9)) as app_version
    from decoded
)
select
    * except (lib, arrival),  -- one number to order by: times, then uuids (the sample has no other ids)
    bitShiftLeft(toUInt256(us), 128) + reinterpretAsUInt128(reverse(unhex(uuid))) as place
from typed
where lib = 'posthog-react-native' and trim(session_id) <> '' and lengthUTF8(session_id) <= 400
    and left(session_id, 1) not in ('[', '{') and toFloat64OrNull(session_id) is null  -- a number is no session id
-- one uuid of a name and a distinct id is one event: the latest arrival decides, then the earliest time
order by arrival desc, us
limit 1 by session_id, uuid, event, distinct_id;

create table facts engine = Memory as
select
    session_id,
    argMin(distinct_id, place) as distinct_id,
    arraySort(groupUniqArray(used.distinct_id)) as distinct_ids,
    min(us) as start_us, max(us) as end_us,
    count() as event_count,
    countIf(event = '$autocapture') as autocapture_count,
    countIf(event = '$screen') as screen_count,
    uniqExact(screen) as unique_screen_count,
    argMin(screen, place) as entry_screen,  -- without the nulls
    argMax(screen, place) as exit_screen,
    count(touch_y) as scroll_event_count,
    count(touch_y) > 0 as scrolled,
    maxIf(least(greatest(touch_y / height, 0), 1), touch_y is not null and height > 0) as scroll_depth,
    max(event = 'view_event') as viewed_event,
    max(event = 'join_event') as joined_event,
    max(event = 'click_invite_to_event') as clicked_invite,
    max(event = 'start_quiz') as started_quiz,
    max(event = 'finish_quiz') as completed_quiz,
    max(event in ('invite_friends', 'send_invite_to_event', 'invite_friends_for_report')) as invited_someone,
    max(positionCaseInsensitive(event, 'contact') > 0 and positionCaseInsensitive(event, 'enable') > 0)
        as enabled_contacts,
    ifNull(max(screen = 'Discover'), false) as visited_discover,
    argMin(city, place) as city,
    argMin(country, place) as country,
    argMin(os_name, place) as os_name,
    argMin(app_version, place) as app_version
from used group by session_id;

create table owners engine = Memory as
with cleaned as (
    select user_id, nullIf(trim(phoneNumber), '') as phoneNumber, nullIf(trim(fullName), '') as fullName,
        nullIf(trim(username), '') as username, nullIf(trim(email), '') as email,
        contactAccessGranted, businessUser, createdAt,
        isNotNull(fullName) + isNotNull(phoneNumber) + isNotNull(username) + isNotNull(email)
            + isNotNull(contactAccessGranted) + isNotNull(businessUser) + isNotNull(createdAt) as completeness
    from file('$warehouse/firebase_etl_prod/users/*.parquet', Parquet) where trim(user_id) <> ''
)
select *, first_value(user_id) over (
    partition by ifNull(phoneNumber, 'no phone: ' || user_id) order by completeness desc, user_id
) as owner
from (select * from cleaned order by completeness desc limit 1 by user_id);

create table matches engine = Memory as
select session_id, ifNull(min(p.owner), min(u.owner)) as user_id
from (select session_id, arrayJoin(distinct_ids) as id from facts) as ids
left join (select phoneNumber, owner from owners where user_id = owner) as p on ids.id = p.phoneNumber
left join owners as u on ids.id = u.user_id
group by session_id;

create table sessions engine = Memory as
with created as (
    select f.session_id as session_id, count() as number
    from facts as f join matches as m on m.session_id = f.session_id
    join owners as o on o.owner = m.user_id
    join (select distinct document_id, user_id, createdAt from file('$warehouse/firebase_etl_prod/events/*.parquet', Parquet)) as s
        on s.user_id = o.user_id
    where toUnixTimestamp64Micro(s.createdAt) between f.start_us and f.end_us
    group by f.session_id
), acquisition as (
    select session_id, channel_type, is_bounce from file('$warehouse/posthog_etl/sessions/*.parquet', Parquet)
    order by end_timestamp desc nulls last, channel_type, is_bounce limit 1 by session_id
)
select
    f.session_id as session_id, f.* except (session_id),
    ifNull(m.user_id, f.distinct_id) as person_id, m.user_id as user_id,
    fromUnixTimestamp64Micro(f.start_us, 'UTC') as start_timestamp,
    fromUnixTimestamp64Micro(f.end_us, 'UTC') as end_timestamp,
    (f.end_us - f.start_us) / 1000000 as session_duration, f.end_us - f.start_us as duration_us,
    ifNull(c.number, 0) > 0 as created_event, ifNull(c.number, 0) as events_created_count,
    f.end_us > f.start_us or f.autocapture_count > 0 as is_engaged,
    u.fullName as fullName, u.phoneNumber as phoneNumber, u.username as username, u.email as email,
    u.contactAccessGranted as contactAccessGranted, u.businessUser as businessUser, u.createdAt as createdAt,
    a.channel_type as channel_type, a.is_bounce as is_bounce
from facts as f join matches as m on m.session_id = f.session_id
left join owners as u on u.user_id = m.user_id
left join acquisition as a on a.session_id = f.session_id
left join created as c on c.session_id = f.session_id;

insert into function file('$out/sessions.parquet', Parquet)
select * except (start_us, end_us, duration_us) from sessions;

insert into function file('$out/persons.parquet', Parquet)
select
    person_id, any(user_id) as user_id, count() as total_sessions, countIf(is_engaged) as engaged_sessions,
    avg(duration_us) / 1e6 as avg_session_duration, quantileExactInclusive(0.5)(duration_us) / 1e6 as median_session_duration,
    sum(duration_us) / 1e6 as total_session_duration, min(duration_us) / 1e6 as min_session_duration,
    max(duration_us) / 1e6 as max_session_duration,
    if(count() > 1, stddevSampStable(duration_us) / 1e6, null) as std_session_duration,
    countIf(created_event) as created_event_sum, countIf(viewed_event) as viewed_event_sum,
    countIf(joined_event) as joined_event_sum, countIf(clicked_invite) as clicked_invite_sum,
    countIf(started_quiz) as started_quiz_sum, countIf(completed_quiz) as completed_quiz_sum,
    countIf(invited_someone) as invited_someone_sum, countIf(enabled_contacts) as enabled_contacts_sum,
    countIf(visited_discover) as visited_discover_sum, countIf(scrolled) as scrolled_sum,
    sum(scroll_event_count) as total_scrolls, avg(scroll_event_count) as avg_scrolls_per_session,
    max(scroll_event_count) as max_scrolls_per_session,
    sum(autocapture_count) as total_autocaptures, avg(autocapture_count) as avg_autocaptures_per_session,
    max(autocapture_count) as max_autocaptures_per_session,
    sum(screen_count) as total_screens, avg(screen_count) as avg_screens_per_session,
    max(screen_count) as max_screens_per_session,
    min(start_timestamp) as first_session_date, max(start_timestamp) as last_session_date,
    (max(start_us) - min(start_us)) / 86400e6 as days_since_first_session,
    count() / ((max(start_us) - min(start_us)) / 86400e6 + 1) as sessions_per_day,
    countIf(created_event or viewed_event or joined_event or scrolled) / count() as engagement_score,
    any(fullName) as fullName, any(phoneNumber) as phoneNumber, any(username) as username, any(email) as email,
    any(contactAccessGranted) as contactAccessGranted, any(businessUser) as businessUser, any(createdAt) as createdAt,
    argMax(city, (start_us, session_id)) as city, argMax(country, (start_us, session_id)) as country
from sessions group by person_id;
