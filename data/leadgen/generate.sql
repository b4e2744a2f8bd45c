-- Fills the tables with made-up rows. Runs on any session that sets
--     leadgen.leads   how many leads in all
--     leadgen.agents  how many agents
--     leadgen.first   first lead of this batch, from 1
--     leadgen.last    last lead of this batch
-- The part `people` runs once, the part `leads` once a batch. Proportions (scale 1 is 200,000 leads
-- over 365 days): 1.2 assignments and 5 events a lead, 60 carriers with 48 months each; 3 % of the
-- leads without a type and 20 % without a score; statuses 8/5/17/30/12/28 %, those of assignments
-- 15/55/20/10 %; sources, states and agents by Zipf's law, so that some agents are hot.
--
-- Lead i of n is created at now - u^1.3 * 365 days with u = (n - i + random) / n: recent-heavy, and
-- in the order of time, as a table that is appended to would be.

-- part: people

-- Rank 1..n by Zipf's law with exponent s > 1, by inverting the continuous distribution.
CREATE FUNCTION pg_temp.zipf(n integer, s double precision) RETURNS integer LANGUAGE sql VOLATILE AS
$$ SELECT least(n, floor(power((power(n + 1, 1 - s) - 1) * random() + 1, 1 / (1 - s)))::integer) $$;

-- Text of 0 to n bytes that does not compress to nothing.
CREATE FUNCTION pg_temp.padding(n integer) RETURNS text LANGUAGE sql VOLATILE AS
$$ SELECT left(md5(random()::text) || md5(random()::text) || md5(random()::text) ||
               md5(random()::text) || md5(random()::text) || md5(random()::text) ||
               md5(random()::text), (random() * n)::integer) $$;

-- Moves weekend leads to a workday more often than not, and all of them into office hours.
CREATE FUNCTION pg_temp.in_season(at timestamp) RETURNS timestamp LANGUAGE sql VOLATILE AS
$$ SELECT least(now()::timestamp,
       date_trunc('day', at)
       - CASE WHEN extract(isodow FROM at) > 5 AND random() < 0.6 THEN interval '2 days'
              ELSE interval '0' END
       + interval '1 day' * least(0.999, greatest(0,
           0.58 + 0.16 * (random() + random() + random() + random() - 2)))) $$;

-- A normally distributed number (Box and Muller 1958).
CREATE FUNCTION pg_temp.normal(mean double precision, deviation double precision)
RETURNS double precision LANGUAGE sql VOLATILE AS
$$ SELECT mean + deviation * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()) $$;

INSERT INTO "Agent"
SELECT gen_random_uuid()::text,
       (ARRAY['Ada', 'Ben', 'Cleo', 'Dan', 'Eve', 'Finn', 'Gwen', 'Hugo'])[1 + n % 8],
       'Agent' || n,
       'agent' || n || '@agents.example',
       '+1555' || lpad(n::text, 7, '0'),
       'LIC-' || lpad(n::text, 6, '0'),
       CASE n % 5
           WHEN 0 THEN ARRAY['auto']
           WHEN 1 THEN ARRAY['auto', 'home']
           WHEN 2 THEN ARRAY['life', 'health']
           WHEN 3 THEN ARRAY['home', 'auto', 'life']
           ELSE ARRAY['commercial']
       END,
       'City ' || pg_temp.zipf(120, 1.2),
       (ARRAY['CA', 'TX', 'FL', 'NY', 'PA', 'IL', 'OH', 'GA', 'NC', 'MI'])[pg_temp.zipf(10, 1.1)],
       'US',
       round((3 + 2 * random())::numeric, 1),
       random() < 0.85,
       10 + 5 * (n % 4),
       (random() * 14)::integer,
       round((60 * random())::numeric, 1),
       round((0.4 * random())::numeric, 3),
       now() - random() * interval '900 days',
       now()
FROM generate_series(1, current_setting('leadgen.agents')::integer) AS n;

INSERT INTO "Carrier" ("id", "name", "description", "contactEmail", "contactPhone", "state",
    "country", "partnershipTier", "partnershipStatus", "contractStartDate", "commissionRate",
    "isActive", "performanceScore", "conversionRate", "averageResponseTime",
    "totalLeadsReceived", "totalLeadsConverted", "updatedAt")
SELECT gen_random_uuid()::text, 'Carrier ' || n, 'A made-up insurer', 'desk' || n || '@carrier.example',
       '+1800' || lpad(n::text, 7, '0'), 'CA', 'US',
       (enum_range(NULL::"PartnershipTier"))[1 + n % 5],
       (enum_range(NULL::"PartnershipStatus"))[pg_temp.zipf(5, 2)],
       now() - interval '1 day' * (400 + 10 * n), round((0.2 * random())::numeric, 3),
       random() < 0.9, round((100 * random())::numeric, 1), round(random()::numeric, 3),
       round((90 * random())::numeric, 1), 40 * n, 5 * n, now()
FROM generate_series(1, 60) AS n;

INSERT INTO "CarrierPerformanceMetric" ("id", "carrierId", "month", "year", "leadsReceived",
    "leadsConverted", "conversionRate", "averageResponseTime", "averageQuoteValue",
    "customerSatisfaction", "onTimeDeliveryRate")
SELECT gen_random_uuid()::text, c."id", extract(month FROM at)::integer,
       extract(year FROM at)::integer, 100 + (200 * random())::integer, (40 * random())::integer,
       round((0.3 * random())::numeric, 3), round((90 * random())::numeric, 1),
       round((500 + 900 * random())::numeric, 2), round((3 + 2 * random())::numeric, 2),
       round((0.8 + 0.2 * random())::numeric, 3)
FROM "Carrier" AS c,
     generate_series(date_trunc('month', now()) - interval '47 months',
                     date_trunc('month', now()), interval '1 month') AS at;

-- Agents by number, so that a rank finds one without a sort.
CREATE TEMPORARY TABLE agent_by_rank AS
SELECT row_number() OVER (ORDER BY "id")::integer AS rank, "id" FROM "Agent";
CREATE UNIQUE INDEX ON agent_by_rank (rank);
ANALYZE agent_by_rank;

-- part: leads

CREATE TEMPORARY TABLE batch AS
SELECT gen_random_uuid()::text AS id, n, pg_temp.in_season(
           (now() - interval '365 days' * power((total - n + random()) / total, 1.3))::timestamp) AS at
FROM generate_series(current_setting('leadgen.first')::integer,
                     current_setting('leadgen.last')::integer) AS n,
     (SELECT current_setting('leadgen.leads')::double precision AS total) AS size;

INSERT INTO "Lead"
SELECT id,
       (ARRAY['web_form', 'partner_api', 'referral', 'phone', 'email', 'manual'])[pg_temp.zipf(6, 1.2)],
       'lead' || n || '@mail.example',
       '+1444' || lpad(n::text, 7, '0'),
       'First' || (random() * 4999)::integer,
       'Last' || (random() * 19999)::integer,
       (random() * 9999)::integer || ' Main Street',
       'City ' || pg_temp.zipf(400, 1.2),
       (ARRAY['CA', 'TX', 'FL', 'NY', 'PA', 'IL', 'OH', 'GA', 'NC', 'MI'])[pg_temp.zipf(10, 1.1)],
       lpad((10000 + floor(random() * 30000))::integer::text, 5, '0'),
       'US',
       CASE WHEN random() >= 0.03
            THEN (enum_range(NULL::"InsuranceType"))[pg_temp.zipf(5, 1.3)] END,
       CASE WHEN random() >= 0.20
            THEN least(100, greatest(0, pg_temp.normal(60, 15)))::integer END,
       (CASE WHEN draw < 0.08 THEN 'RECEIVED'
             WHEN draw < 0.13 THEN 'PROCESSING'
             WHEN draw < 0.30 THEN 'QUALIFIED'
             WHEN draw < 0.60 THEN 'ROUTED'
             WHEN draw < 0.72 THEN 'CONVERTED'
             ELSE 'REJECTED' END)::"LeadStatus",
       jsonb_build_object('campaign', 'c' || (random() * 299)::integer,
                          'utm_source', 's' || (random() * 19)::integer,
                          'note', pg_temp.padding(200)),
       at,
       least(now()::timestamp, at + random() * interval '3 days')
FROM (SELECT *, random() AS draw FROM batch) AS drawn;

INSERT INTO "LeadAssignment" ("id", "leadId", "agentId", "assignedAt", "status", "acceptedAt")
SELECT gen_random_uuid()::text, lead, agent."id", at,
       (CASE WHEN draw < 0.15 THEN 'PENDING'
             WHEN draw < 0.70 THEN 'ACCEPTED'
             WHEN draw < 0.90 THEN 'REJECTED'
             ELSE 'TIMEOUT' END)::"AssignmentStatus",
       CASE WHEN draw >= 0.15 AND draw < 0.70 THEN at + random() * interval '4 hours' END
FROM (SELECT id AS lead, least(now()::timestamp, at + random() * interval '2 hours') AS at,
             random() AS draw,
             pg_temp.zipf(current_setting('leadgen.agents')::integer, 1.1) AS rank
      FROM batch, generate_series(1, 2)
      WHERE random() < 0.6) AS drawn
JOIN agent_by_rank AS agent USING (rank);

INSERT INTO "Event" ("id", "type", "source", "entityType", "entityId", "data", "timestamp")
SELECT gen_random_uuid()::text,
       CASE step WHEN 1 THEN 'lead.created'
                 ELSE (ARRAY['lead.updated', 'lead.scored', 'lead.assigned', 'assignment.accepted',
                             'lead.converted'])[pg_temp.zipf(5, 1.2)] END,
       (ARRAY['api', 'data-service', 'orchestrator', 'batch'])[pg_temp.zipf(4, 1.3)],
       'lead', id,
       jsonb_build_object('leadId', id, 'step', step, 'payload', pg_temp.padding(200)),
       CASE step WHEN 1 THEN at
                 ELSE least(now()::timestamp, at + random() * interval '3 days') END
FROM batch, generate_series(1, 5) AS step;

DROP TABLE batch;
