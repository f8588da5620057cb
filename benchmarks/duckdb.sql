-- The same two tables as the pipeline's, straight from the same Parquet files, as fast as DuckDB makes them.
-- Placeholders: $warehouse, $out.

create temp macro flat(text) as case when text[1] not in ('[', '{') then nullif(text, '') end;

create temp table used as
with read as (  -- DuckDB takes no lone surrogates in JSON: they are left out, pairs stay
    select * exclude (properties), case when contains(properties, '\ud')
        then regexp_replace(properties, '(\\ud[89ab]..\\ud[c-f]..)|\\ud[89a-f]..', '\1', 'g')
        else properties end as properties
    from read_parquet('$warehouse/posthog_etl/events/*.parquet')
), decoded as materialized (  -- or the JSON would be parsed once for every property
    select lower(replace(uuid, '-', '')) as uuid, event, distinct_id, epoch_us(timestamp) as us,
        coalesce(epoch_us(bq_ingested_timestamp), -9e18::bigint) as arrival, json_extract_string(properties, [
        '$."$session_id"', '$."$lib"', '$."$screen_name"', '$."$touch_y"', '$."$screen_height"', '$."$geoip_city_name"',
        '$."$geoip_country_name"', '$."$os_name"', '$."$app_version"']) as p
    from read
    where json_valid(properties) and uuid <> '' and event <> '' and trim(distinct_id) <> ''
        and timestamp between '2015-01-01' and '2049-12-31'
        and timestamp <= coalesce(bq_ingested_timestamp, timestamp) + interval 24 hour
)
select  -- numbers and booleans are their JSON text; what is nested is nothing
    p[1] as session_id, uuid, event, distinct_id, us, arrival,
    flat(p[3]) as screen, try_cast(p[4] as double) as touch_y, try_cast(p[5] as double) as height,
    flat(p[6]) as city, flat(p[7]) as country, flat(p[8]) as os_name, flat(p[9]) as app_version
from decoded
where p[2] = 'posthog-react-native' and trim(p[1]) <> '' and length(p[1]) <= 400 and p[1][1] not in ('[', '{')
    and try_cast(p[1] as double) is null;  -- a number is no session id

create temp table facts as
select
    session_id,
    arg_min(distinct_id, (us, uuid)) as distinct_id,
    list_sort(list(distinct distinct_id)) as distinct_ids,
    min(us) as start_us, max(us) as end_us,
    count(*) as event_count,
    count(*) filter (event = '$autocapture') as autocapture_count,
    count(*) filter (event = '$screen') as screen_count,
    count(distinct screen) as unique_screen_count,
    arg_min(screen, (us, uuid)) filter (screen is not null) as entry_screen,
    arg_max(screen, (us, uuid)) filter (screen is not null) as exit_screen,
    count(touch_y) as scroll_event_count,
    count(touch_y) > 0 as scrolled,
    max(least(greatest(touch_y / height, 0), 1))
        filter (touch_y is not null and height > 0 and isfinite(height)) as scroll_depth,
    bool_or(event = 'view_event') as viewed_event,
    bool_or(event = 'join_event') as joined_event,
    bool_or(event = 'click_invite_to_event') as clicked_invite,
    bool_or(event = 'start_quiz') as started_quiz,
    bool_or(event = 'finish_quiz') as completed_quiz,
    bool_or(event in ('invite_friends', 'send_invite_to_event', 'invite_friends_for_report')) as invited_someone,
    bool_or(contains(lower(event), 'contact') and contains(lower(event), 'enable')) as enabled_contacts,
    coalesce(bool_or(screen = 'Discover'), false) as visited_discover,
    arg_min(city, (us, uuid)) filter (city is not null) as city,
    arg_min(country, (us, uuid)) filter (country is not null) as country,
    arg_min(os_name, (us, uuid)) filter (os_name is not null) as os_name,
    arg_min(app_version, (us, uuid)) filter (app_version is not null) as app_version
from used
where rowid in (  -- of the copies of an event the latest arrival decides, then the earliest time
    select arg_max(rowid, (arrival, -us)) from used group by session_id, uuid, event, distinct_id
)
group by session_id;

create temp table owners as
with cleaned as (
    select user_id, nullif(trim(phoneNumber), '') as phoneNumber, nullif(trim(fullName), '') as fullName,
        nullif(trim(username), '') as username, nullif(trim(email), '') as email,
        contactAccessGranted, businessUser, createdAt
    from read_parquet('$warehouse/firebase_etl_prod/users/*.parquet') where trim(user_id) <> ''
), ranked as (
    select *, (fullName is not null)::int + (phoneNumber is not null)::int + (username is not null)::int
        + (email is not null)::int + (contactAccessGranted is not null)::int + (businessUser is not null)::int
        + (createdAt is not null)::int as completeness
    from cleaned
), by_user as (
    select * from ranked qualify row_number() over (partition by user_id order by completeness desc) = 1
)
select *, first_value(user_id) over (  -- the others of a phone number are aliases
    partition by coalesce(phoneNumber, 'no phone: ' || user_id) order by completeness desc, user_id
) as owner
from by_user;

create temp table matches as
select session_id, coalesce(min(p.owner), min(u.owner)) as user_id
from (select session_id, unnest(distinct_ids) as id from facts) ids
left join owners p on ids.id = p.phoneNumber and p.user_id = p.owner
left join owners u on ids.id = u.user_id
group by session_id;

create temp table sessions as
with created as (
    select f.session_id, count(*) as number
    from facts f join matches m using (session_id)
    join owners o on o.owner = m.user_id
    join (select distinct document_id, user_id, createdAt from read_parquet('$warehouse/firebase_etl_prod/events/*.parquet')) s
        on s.user_id = o.user_id
    where epoch_us(s.createdAt) between f.start_us and f.end_us
    group by f.session_id
), acquisition as (
    select session_id, channel_type, is_bounce::boolean as is_bounce from read_parquet('$warehouse/posthog_etl/sessions/*.parquet')
    qualify row_number() over (
        partition by session_id order by end_timestamp desc nulls last, channel_type, is_bounce
    ) = 1
)
select
    f.* exclude (start_us, end_us),
    coalesce(m.user_id, f.distinct_id) as person_id, m.user_id,
    make_timestamptz(f.start_us) as start_timestamp, make_timestamptz(f.end_us) as end_timestamp,
    (f.end_us - f.start_us) / 1000000 as session_duration, f.start_us, f.end_us - f.start_us as duration_us,
    coalesce(c.number, 0) > 0 as created_event, coalesce(c.number, 0) as events_created_count,
    f.end_us > f.start_us or f.autocapture_count > 0 as is_engaged,
    u.fullName, u.phoneNumber, u.username, u.email, u.contactAccessGranted, u.businessUser, u.createdAt,
    a.channel_type, a.is_bounce
from facts f join matches m using (session_id)
left join owners u on u.user_id = m.user_id
left join acquisition a on a.session_id = f.session_id
left join created c on c.session_id = f.session_id;

copy (select * exclude (start_us, duration_us) from sessions) to '$out/sessions.parquet' (compression zstd);
copy (
    select
        person_id, any_value(user_id) as user_id, count(*) as total_sessions,
        count(*) filter (is_engaged) as engaged_sessions,
        avg(duration_us) / 1e6 as avg_session_duration, median(duration_us) / 1e6 as median_session_duration,
        sum(duration_us) / 1e6 as total_session_duration, min(duration_us) / 1e6 as min_session_duration,
        max(duration_us) / 1e6 as max_session_duration, stddev_samp(duration_us) / 1e6 as std_session_duration,
        count(*) filter (created_event) as created_event_sum, count(*) filter (viewed_event) as viewed_event_sum,
        count(*) filter (joined_event) as joined_event_sum, count(*) filter (clicked_invite) as clicked_invite_sum,
        count(*) filter (started_quiz) as started_quiz_sum, count(*) filter (completed_quiz) as completed_quiz_sum,
        count(*) filter (invited_someone) as invited_someone_sum,
        count(*) filter (enabled_contacts) as enabled_contacts_sum,
        count(*) filter (visited_discover) as visited_discover_sum, count(*) filter (scrolled) as scrolled_sum,
        sum(scroll_event_count) as total_scrolls, avg(scroll_event_count) as avg_scrolls_per_session,
        max(scroll_event_count) as max_scrolls_per_session,
        sum(autocapture_count) as total_autocaptures, avg(autocapture_count) as avg_autocaptures_per_session,
        max(autocapture_count) as max_autocaptures_per_session,
        sum(screen_count) as total_screens, avg(screen_count) as avg_screens_per_session,
        max(screen_count) as max_screens_per_session,
        min(start_timestamp) as first_session_date, max(start_timestamp) as last_session_date,
        (max(start_us) - min(start_us)) / 86400e6 as days_since_first_session,
        count(*) / ((max(start_us) - min(start_us)) / 86400e6 + 1) as sessions_per_day,
        count(*) filter (created_event or viewed_event or joined_event or scrolled) / count(*) as engagement_score,
        any_value(fullName) as fullName, any_value(phoneNumber) as phoneNumber, any_value(username) as username,
        any_value(email) as email, any_value(contactAccessGranted) as contactAccessGranted,
        any_value(businessUser) as businessUser, any_value(createdAt) as createdAt,
        arg_max(city, (start_us, session_id)) filter (city is not null) as city,
        arg_max(country, (start_us, session_id)) filter (country is not null) as country
    from sessions group by person_id
) to '$out/persons.parquet' (compression zstd);
