{% test unique_together(model, columns) %}
-- values of several columns that occur in more than one row
select {{ columns | join(", ") }}
from {{ model }}
group by {{ columns | join(", ") }}
having count(*) > 1
{% endtest %}
