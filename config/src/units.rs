//! Engineering units with their UNECE codes (OPC UA Part 8 EUInformation).

/// An engineering unit: index into the unit table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit(pub &'static UnitRow);

/// One row of the unit table.
#[derive(Debug, PartialEq, Eq)]
pub struct UnitRow {
    /// How it is written in configurations and shown ("degC").
    pub symbol: &'static str,
    /// EUInformation.unitId, or -1 where UNECE has no code.
    pub unit_id: i32,
    /// EUInformation.displayName, with the degree sign.
    pub display: &'static str,
    /// EUInformation.description ("degree Celsius").
    pub description: &'static str,
}
