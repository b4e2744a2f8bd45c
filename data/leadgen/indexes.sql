-- Keys and single-column indexes that the platform begins with, made after the rows.
--
-- Two are planted faults: Agent_email_idx and Agent_licenseNumber_idx repeat the unique indexes.
-- The composite indexes that the platform adds later are in migration.sql.

CREATE UNIQUE INDEX "Agent_email_key" ON "Agent" ("email");
CREATE UNIQUE INDEX "Agent_licenseNumber_key" ON "Agent" ("licenseNumber");
CREATE UNIQUE INDEX "CarrierPerformanceMetric_carrierId_year_month_key"
    ON "CarrierPerformanceMetric" ("carrierId", "year", "month");

CREATE INDEX "Lead_email_idx" ON "Lead" ("email");
CREATE INDEX "Lead_phone_idx" ON "Lead" ("phone");
CREATE INDEX "Lead_status_idx" ON "Lead" ("status");
CREATE INDEX "Lead_createdAt_idx" ON "Lead" ("createdAt");

CREATE INDEX "Agent_email_idx" ON "Agent" ("email");
CREATE INDEX "Agent_licenseNumber_idx" ON "Agent" ("licenseNumber");
CREATE INDEX "Agent_isActive_idx" ON "Agent" ("isActive");
CREATE INDEX "Agent_city_idx" ON "Agent" ("city");
CREATE INDEX "Agent_state_idx" ON "Agent" ("state");

CREATE INDEX "LeadAssignment_leadId_idx" ON "LeadAssignment" ("leadId");
CREATE INDEX "LeadAssignment_agentId_idx" ON "LeadAssignment" ("agentId");
CREATE INDEX "LeadAssignment_status_idx" ON "LeadAssignment" ("status");
CREATE INDEX "LeadAssignment_assignedAt_idx" ON "LeadAssignment" ("assignedAt");

CREATE INDEX "Event_type_idx" ON "Event" ("type");
CREATE INDEX "Event_source_idx" ON "Event" ("source");
CREATE INDEX "Event_entityType_idx" ON "Event" ("entityType");
CREATE INDEX "Event_entityId_idx" ON "Event" ("entityId");
CREATE INDEX "Event_timestamp_idx" ON "Event" ("timestamp");

CREATE INDEX "Carrier_name_idx" ON "Carrier" ("name");
CREATE INDEX "Carrier_partnershipStatus_idx" ON "Carrier" ("partnershipStatus");
CREATE INDEX "Carrier_partnershipTier_idx" ON "Carrier" ("partnershipTier");
CREATE INDEX "Carrier_isActive_idx" ON "Carrier" ("isActive");
CREATE INDEX "Carrier_createdAt_idx" ON "Carrier" ("createdAt");

CREATE INDEX "CarrierPerformanceMetric_carrierId_idx" ON "CarrierPerformanceMetric" ("carrierId");
CREATE INDEX "CarrierPerformanceMetric_year_idx" ON "CarrierPerformanceMetric" ("year");
CREATE INDEX "CarrierPerformanceMetric_month_idx" ON "CarrierPerformanceMetric" ("month");
CREATE INDEX "CarrierPerformanceMetric_createdAt_idx" ON "CarrierPerformanceMetric" ("createdAt");

ALTER TABLE "LeadAssignment" ADD CONSTRAINT "LeadAssignment_leadId_fkey"
    FOREIGN KEY ("leadId") REFERENCES "Lead" ("id") ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE "LeadAssignment" ADD CONSTRAINT "LeadAssignment_agentId_fkey"
    FOREIGN KEY ("agentId") REFERENCES "Agent" ("id") ON UPDATE CASCADE ON DELETE CASCADE;
ALTER TABLE "CarrierPerformanceMetric" ADD CONSTRAINT "CarrierPerformanceMetric_carrierId_fkey"
    FOREIGN KEY ("carrierId") REFERENCES "Carrier" ("id") ON UPDATE CASCADE ON DELETE CASCADE;
