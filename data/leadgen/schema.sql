-- The lead-generation platform's tables: what leads come in, who works on them, what happened.
--
-- Names, types and defaults are those of the platform (Prisma: quoted mixed case, ids as text,
-- timestamps without zone, id and updatedAt set by the application). Foreign keys and secondary
-- indexes are in indexes.sql, made after the rows.

CREATE TYPE "InsuranceType" AS ENUM ('AUTO', 'HOME', 'LIFE', 'HEALTH', 'COMMERCIAL');
CREATE TYPE "LeadStatus" AS ENUM
    ('RECEIVED', 'PROCESSING', 'QUALIFIED', 'ROUTED', 'CONVERTED', 'REJECTED');
CREATE TYPE "AssignmentStatus" AS ENUM ('PENDING', 'ACCEPTED', 'REJECTED', 'TIMEOUT');
CREATE TYPE "PartnershipTier" AS ENUM ('BASIC', 'STANDARD', 'PREMIUM', 'ELITE', 'STRATEGIC');
CREATE TYPE "PartnershipStatus" AS ENUM
    ('ACTIVE', 'PENDING', 'SUSPENDED', 'TERMINATED', 'RENEWAL_NEEDED');

CREATE TABLE "Lead" (
    "id"            text PRIMARY KEY,
    "source"        text NOT NULL,
    "email"         text,
    "phone"         text,
    "firstName"     text,
    "lastName"      text,
    "street"        text,
    "city"          text,
    "state"         text,
    "zipCode"       text,
    "country"       text,
    "insuranceType" "InsuranceType",
    "qualityScore"  integer,
    "status"        "LeadStatus" NOT NULL DEFAULT 'RECEIVED',
    "metadata"      jsonb,
    "createdAt"     timestamp(3) NOT NULL DEFAULT now(),
    "updatedAt"     timestamp(3) NOT NULL
);

CREATE TABLE "Agent" (
    "id"                  text PRIMARY KEY,
    "firstName"           text NOT NULL,
    "lastName"            text NOT NULL,
    "email"               text NOT NULL,
    "phone"               text NOT NULL,
    "licenseNumber"       text NOT NULL,
    "specializations"     text[],
    "city"                text NOT NULL,
    "state"               text NOT NULL,
    "country"             text NOT NULL,
    "rating"              double precision NOT NULL DEFAULT 0,
    "isActive"            boolean NOT NULL DEFAULT true,
    "maxLeadCapacity"     integer NOT NULL DEFAULT 10,
    "currentLeadCount"    integer NOT NULL DEFAULT 0,
    "averageResponseTime" double precision NOT NULL DEFAULT 0,
    "conversionRate"      double precision NOT NULL DEFAULT 0,
    "createdAt"           timestamp(3) NOT NULL DEFAULT now(),
    "updatedAt"           timestamp(3) NOT NULL
);

CREATE TABLE "LeadAssignment" (
    "id"         text PRIMARY KEY,
    "leadId"     text NOT NULL,
    "agentId"    text NOT NULL,
    "assignedAt" timestamp(3) NOT NULL DEFAULT now(),
    "status"     "AssignmentStatus" NOT NULL DEFAULT 'PENDING',
    "acceptedAt" timestamp(3),
    "notes"      text
);

CREATE TABLE "Event" (
    "id"         text PRIMARY KEY,
    "type"       text NOT NULL,
    "source"     text NOT NULL,
    "entityType" text NOT NULL,
    "entityId"   text NOT NULL,
    "data"       jsonb NOT NULL,
    "timestamp"  timestamp(3) NOT NULL DEFAULT now(),
    "metadata"   jsonb
);

CREATE TABLE "Carrier" (
    "id"                  text PRIMARY KEY,
    "name"                text NOT NULL,
    "description"         text,
    "website"             text,
    "contactEmail"        text NOT NULL,
    "contactPhone"        text NOT NULL,
    "address"             text,
    "city"                text,
    "state"               text,
    "zipCode"             text,
    "country"             text,
    "partnershipTier"     "PartnershipTier" NOT NULL DEFAULT 'BASIC',
    "partnershipStatus"   "PartnershipStatus" NOT NULL DEFAULT 'ACTIVE',
    "contractStartDate"   timestamp(3) NOT NULL,
    "contractEndDate"     timestamp(3),
    "commissionRate"      double precision NOT NULL DEFAULT 0,
    "isActive"            boolean NOT NULL DEFAULT true,
    "integrationEnabled"  boolean NOT NULL DEFAULT false,
    "apiEndpoint"         text,
    "apiKey"              text,
    "performanceScore"    double precision NOT NULL DEFAULT 0,
    "conversionRate"      double precision NOT NULL DEFAULT 0,
    "averageResponseTime" double precision NOT NULL DEFAULT 0,
    "totalLeadsReceived"  integer NOT NULL DEFAULT 0,
    "totalLeadsConverted" integer NOT NULL DEFAULT 0,
    "createdAt"           timestamp(3) NOT NULL DEFAULT now(),
    "updatedAt"           timestamp(3) NOT NULL
);

CREATE TABLE "CarrierPerformanceMetric" (
    "id"                   text PRIMARY KEY,
    "carrierId"            text NOT NULL,
    "month"                integer NOT NULL,
    "year"                 integer NOT NULL,
    "leadsReceived"        integer NOT NULL DEFAULT 0,
    "leadsConverted"       integer NOT NULL DEFAULT 0,
    "conversionRate"       double precision NOT NULL DEFAULT 0,
    "averageResponseTime"  double precision NOT NULL DEFAULT 0,
    "averageQuoteValue"    double precision NOT NULL DEFAULT 0,
    "customerSatisfaction" double precision NOT NULL DEFAULT 0,
    "onTimeDeliveryRate"   double precision NOT NULL DEFAULT 0,
    "createdAt"            timestamp(3) NOT NULL DEFAULT now()
);
